/** Where a listener is really bound: the port is never 0. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}
