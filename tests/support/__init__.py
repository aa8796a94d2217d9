"""What tests share: databases, browsers, servers, clocks."""
