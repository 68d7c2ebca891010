"""Whether anything that was acknowledged is lost, or anybody waits for long, while parts of the service die."""
