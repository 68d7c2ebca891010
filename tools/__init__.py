"""Programs for the development of Charter. The wheel does not contain them."""
