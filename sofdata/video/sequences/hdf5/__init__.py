"""HDF5 files: pictures and numbers of robot labs' episodes, read by h5py.

See https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html for the format.
"""
