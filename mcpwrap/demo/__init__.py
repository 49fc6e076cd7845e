"""A small real server and a scripted client that show the product at work."""
