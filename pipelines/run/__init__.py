"""The life of a model: from a data set to a promoted model, or to a report that says why not."""
