"""The data sets that papers report on, by name, in the layout in which they are downloaded."""
