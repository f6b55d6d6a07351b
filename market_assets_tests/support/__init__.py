"""What tests stand on: practice grounds, vendors, terminals, platforms."""
