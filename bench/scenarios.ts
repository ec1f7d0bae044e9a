import { BUILT_IN_CASES, type BuiltInCase } from './in-process/built-in-cases.ts'

/** What is asked of every peer. */

/**
 * How a peer is set up: nothing extra; every access logged to a file; Cardea with five plugins in its chain, or with
 * the one built-in plugin of the scenario.
 */
export type Variant = 'plain' | 'logging' | 'plugins' | 'built-in'

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Content of the request. */
  readonly requestBytes: number
  /** Content that the upstream answers with. */
  readonly answerBytes: number
  /** One connection per request: the client says `Connection: close` and the proxy must close. */
  readonly closes: boolean
  /** Every peer that knows a variant enters once per variant. */
  readonly variants: readonly Variant[]
  /**
   * The variants are two routes of one gateway, which is started as the last of them: two processes of the same program
   * differ by more than a plugin takes.
   */
  readonly oneGateway: boolean
  /** What the variant `built-in` runs; its fields are in the requests of every variant. Null where there is none. */
  readonly builtIn: BuiltInCase | null
}

const KIB = 1024

/** The body of the small answer: 54 bytes, as in the project's first measurements. */
export const SMALL_BODY = '{"message":"Hello from the upstream","status":"ready"}'

export const SMALL_PATH = '/small'
/** As long, and with the same answer: the route without a plugin where there is one with it. */
export const PLAIN_PATH = '/plain'

const small = {
  method: 'GET',
  path: SMALL_PATH,
  requestBytes: 0,
  answerBytes: SMALL_BODY.length,
  closes: false,
  variants: ['plain'],
  oneGateway: false,
  builtIn: null,
} as const

/** What a peer is asked to see that it works, where no scenario is named. */
export const SMALL: Scenario = { ...small, name: 'small', title: '54-byte answer, keep-alive' }

export function pathOf({ path, oneGateway }: Scenario, variant: Variant): string {
  return oneGateway && variant === 'plain' ? PLAIN_PATH : path
}

/** Whether each request leaves a line. */
export function isLogged({ builtIn }: Scenario, variant: Variant): boolean {
  return variant === 'logging' || (variant === 'built-in' && builtIn?.plugin === 'access-log')
}

export const SCENARIOS: readonly Scenario[] = [
  SMALL,
  { ...small, name: '64k', title: '64 KiB answer, keep-alive', path: '/64k', answerBytes: 64 * KIB },
  { ...small, name: '1m', title: '1 MiB answer, keep-alive', path: '/1m', answerBytes: KIB * KIB },
  {
    ...small,
    name: 'post',
    title: '16 KiB POST, keep-alive',
    method: 'POST',
    path: '/post',
    requestBytes: 16 * KIB,
  },
  { ...small, name: 'close', title: '54-byte answer, one connection per request', closes: true },
  { ...small, name: 'logging', title: '54-byte answer, access log on', variants: ['logging'] },
  {
    ...small,
    name: 'plugins',
    title: '54-byte answer, empty chain and five plugins',
    variants: ['plain', 'plugins'],
    oneGateway: true,
  },
  ...BUILT_IN_CASES.map((builtIn) => ({
    ...small,
    name: builtIn.name,
    title: `54-byte answer, empty chain and built-in ${builtIn.name}`,
    variants: ['plain', 'built-in'] as const,
    oneGateway: true,
    builtIn,
  })),
]
