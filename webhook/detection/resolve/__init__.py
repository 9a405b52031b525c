"""Put together the configuration of one container, and resolve the hosts in it to Services."""
