"""Programs for those who develop Headcirc; nothing that serves or measures imports them."""
