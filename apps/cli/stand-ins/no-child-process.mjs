/** Stands in for `node:child_process`, which commander loads at its start and uses for commands that are programs of their own: here none is. */
export const spawn = undefined;
