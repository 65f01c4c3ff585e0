"""The KServe edge: V2 over REST and gRPC, health, shutdown."""
