"""One batch through one network, whatever the device."""
