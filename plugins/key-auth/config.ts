import type { Cloneable, CredentialSource } from '@cardea/sdk'

/** What config_schema describes, defaults filled in. */
export interface Config {
  readonly consumers: Readonly<Record<string, ConsumerConfig>>
  readonly sources: readonly CredentialSource[]
  readonly pepper?: string
  readonly require: { readonly groups_any?: readonly string[]; readonly groups_all?: readonly string[] }
  readonly anonymous?: {
    readonly id: string
    readonly groups: readonly string[]
    readonly metadata: Metadata
  }
  readonly unless_authenticated: boolean
  readonly upstream_headers: Readonly<Record<string, string>>
  readonly realm: string
}

type Metadata = Readonly<Record<string, Cloneable>>

export interface ConsumerConfig {
  readonly groups: readonly string[]
  readonly metadata: Metadata
  readonly keys: Readonly<Record<string, KeyConfig>>
}

export interface KeyConfig {
  /** `sha256:…` or `hmac-sha256:…`, hex. */
  readonly hash: string
  /** RFC 3339. */
  readonly expires?: string
}
