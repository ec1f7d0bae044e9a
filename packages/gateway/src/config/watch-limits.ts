/** From an editor's save to the beginning of a change. */
export const WATCH_LIMITS = {
  /** Nothing has happened for this long: the burst is over. Editors and git write within a few milliseconds. */
  quietMs: 20,
  /** A file that is still empty is probably being written. */
  emptyFileMs: 150,
  /** What is gone may be on its way to another name, or about to be written anew. */
  goneMs: 100,
  /** A file that has lost its end since it was read is probably being written; after this without a change it is meant. */
  halfWrittenMs: 1_000,
  /** Whoever writes with pauses is not waited for any longer. */
  slowWriterMs: 5_000,
  /** Larger files are not compared: of them that they have shrunk counts. */
  comparedBytesMax: 1024 * 1024,
  /** Of so much in all what it says is kept, to compare it; of what there is more it counts that it has shrunk. */
  keptBytesMax: 32 * 1024 * 1024,
  /** A burst is cut here at the latest. */
  burstMs: 2_000,
  /** A start waits for its files to be watched before it looks at them, but no longer. */
  readyTimeoutMs: 5_000,
  /** Between two looks at files that the system does not tell of, and at what must not be read. */
  pollMs: 1_000,
  /** So much that must not be read is looked at again for each watched path; one of them is enough. */
  unreadableMax: 100,
  /** Links below one watched folder that are followed … */
  linksMax: 1_000,
  /** … and folders that are looked through for them. */
  linkFoldersMax: 10_000,
} as const
