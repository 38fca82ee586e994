"""Files on disks, in object stores and in archives, and the lock on who may write there."""
