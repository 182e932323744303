"""The questions: a check is data (set, search, metric, control, criterion), and a method that runs it on a batch."""
