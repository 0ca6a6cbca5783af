"""Product sets: what is bound to a product, its hash, its limits, and how a set takes over."""
