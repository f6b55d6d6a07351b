"""Files with which a universe is run and watched by others: systemd, containers, Prometheus."""
