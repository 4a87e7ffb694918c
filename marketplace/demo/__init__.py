"""The main job, told on real open data from beginning to end."""
