"""The demo: real data through the real worker on an embedded broker, alerts on the terminal."""
