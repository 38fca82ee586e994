"""`sofdata view`: a dataset in the browser of this machine, and a video of it as a film."""
