"""One record type into one renderable. Only here: rich. Foreign text is always `Text`, never markup."""
