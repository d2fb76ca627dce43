"""The verbs: functions that yield events or return records, and never print."""
