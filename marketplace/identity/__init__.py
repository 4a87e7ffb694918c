"""Who asks: organisations, people, projects, secondments and tokens."""
