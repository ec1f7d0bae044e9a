/** Writes `main/cli.js` and all that it needs into the folder `out`. Throws what esbuild says when it cannot. */
export function bundle(out: string, folder?: string): void

/** Writes what takes the place of src/config/own-schemas.ts in the built program; returns its path. */
export function writeOwnSchemas(folder?: string): string

/** The program made of the sources as they are now; made only when nobody did since they changed. */
export function builtProgram(folder?: string): string

/** Names of the files in src/main that start a process or a thread, or are loaded where tests of plugins run. */
export const ENTRIES: readonly string[]
