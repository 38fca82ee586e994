"""Files inside of other files, read in place: tars, zips, parts, cells of tables."""
