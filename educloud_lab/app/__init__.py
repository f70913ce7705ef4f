"""The only room that sees every room: configuration, wiring, extension, command line."""
