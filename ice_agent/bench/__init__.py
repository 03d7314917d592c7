"""How well editing holds, measured on the reference world by free generation: one table, fixed seeds."""
