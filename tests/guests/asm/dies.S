# The shortest life: its first instruction is undefined, and nothing is registered.

        .text
        .global _start
_start: ud2
