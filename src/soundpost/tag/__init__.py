"""`soundpost tag`: what is heard where in a folder of recordings, as tables that other programs open."""
