/** Where a command writes; tests collect it. Each call is whole lines, the last newline included. */
export interface CommandIo {
  out(text: string): void
  err(text: string): void
}
