"""The smallest change that flips a decision. A search sees scores (inputs) -> (batch, classes), a norm and a box."""
