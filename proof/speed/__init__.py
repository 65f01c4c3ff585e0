"""Benchmarks of the service against its engine and its peers. Each ratio compares figures of one run."""
