"""Running a checked statement over the tables of one view map, in processes that can be killed."""
