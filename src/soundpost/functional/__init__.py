"""Pure tensor maths that several front ends, networks or views share."""
