"""The API below ``/api2/json``: ``table`` lists every route; the handlers are in one module per branch of the tree."""
