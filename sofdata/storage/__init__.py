"""Where files lie: folders, object stores, archives; and who may write there."""
