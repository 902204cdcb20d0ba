"""Who does the measuring: `local` runs a protocol in this process and puts the records into the store."""
