// Functions without a body need an assembly file in the package; these are linked to the runtime (fork_linux.go).
