"""The page that makes any phone a device: its server, certificate and QR code, and LiteRT.js for it."""
