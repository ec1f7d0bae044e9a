import { PluginLifecycle } from './lifecycle.ts'

/**
 * How far plugins have come, for whoever asks. A change that looks for them and builds them does not know all of them yet;
 * until then it is what was known before.
 */
export class PluginProgress {
  #shown = new PluginLifecycle()
  #begun: PluginLifecycle | null = null

  get shown(): PluginLifecycle {
    return this.#shown
  }

  /** A change has begun. Returns what it notes the steps of its plugins in. */
  begin(lifecycle: PluginLifecycle): PluginLifecycle {
    this.#begun = lifecycle
    return lifecycle
  }

  /** The change that has begun knows its plugins, or has failed over some of them, if not before it looked for any. */
  showBegun(): void {
    if (this.#begun?.hasLooked === true) this.show(this.#begun)
  }

  /** What counts from now on, whatever a change has come to. */
  show(lifecycle: PluginLifecycle): void {
    this.#shown = lifecycle
    this.#begun = null
  }
}
