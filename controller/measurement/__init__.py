"""How far each measurement can be trusted: defect, NAMUR NE 107 category, and what is done."""
