"""The JSON shapes of REST and socket: OpenAPI and the TypeScript types are generated from here."""
