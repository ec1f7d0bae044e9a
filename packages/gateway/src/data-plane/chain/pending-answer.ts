import type { FieldLines } from '../fields.ts'

/** The content and status that a hook gives with `send`, before its fields. */
export class PendingAnswer {
  status = 0
  content: Buffer | null = null
  /** Those that go with this status alone, whatever response else may come: the Upgrade of a 426. */
  fields: FieldLines | null = null
  /** By `send`, `json` or `redirect`, and not only by setting a status. */
  sent = false

  /** The hook that made it does not answer. */
  clear(): void {
    this.status = 0
    this.content = null
    this.fields = null
    this.sent = false
  }
}
