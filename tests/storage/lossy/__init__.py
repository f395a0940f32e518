"""A disk that loses what was not synced: what a process really writes is recorded, and what a power cut may
leave of it is made from the record."""
