"""How requests reach Django: bounded connections, whole bodies, pages in threads, and signs of health."""
