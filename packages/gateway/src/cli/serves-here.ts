/** By itself, so that a command does not load the gateway to learn that it is none. */

let isMaster = false

/** This process has become the master of a gateway. */
export function servesHere(): boolean {
  return isMaster
}

export function becomesMaster(): void {
  isMaster = true
}
