import {
  type Admission,
  AMBIGUOUS,
  authGate,
  type Consumer,
  type Context,
  consumerOf,
  defineConsumer,
  fieldText,
  type Host,
  type Middleware,
} from '@cardea/sdk'
import type { Config, ConsumerConfig } from './config.ts'
import { KeyTable, parseHash } from './key-table.ts'
import {
  challengeOf,
  GROUP_REQUIRED,
  KEY_AMBIGUOUS,
  KEY_EXPIRED,
  KEY_INVALID,
  KEY_MISSING,
} from './refusals.ts'

/** All that a request by one key needs, made when the instance starts. */
interface Verdict extends Admission {
  /** What `require` says of the consumer. */
  readonly isAllowed: boolean
}

export function PluginMain(config: Config, host: Host): Middleware<Config> {
  const table = keyTable(config, host)
  const anonymous = config.anonymous === undefined ? null : anonymousVerdict(config, config.anonymous)
  const gate = authGate({
    sources: config.sources,
    challenges: config.sources.map((source) => challengeOf(source, config.realm)),
    upstreamFields: Object.keys(config.upstream_headers),
  })
  const decide = (ctx: Context, verdict: Verdict): boolean => {
    if (verdict.isAllowed) return gate.admit(ctx, verdict)
    // Who has not said who it is may yet be allowed (RFC 6750, 3.1).
    return gate.refuse(ctx, verdict.consumer.anonymous ? KEY_MISSING : GROUP_REQUIRED)
  }

  return {
    name: 'key-auth',
    handle(ctx) {
      const key = gate.read(ctx.request)
      if (key === AMBIGUOUS) return gate.refuse(ctx, KEY_AMBIGUOUS)
      if (key === null) {
        const other = consumerOf(ctx)
        if (other?.anonymous === false && (config.unless_authenticated || anonymous !== null)) {
          return decide(ctx, verdict(config, other))
        }
        return anonymous === null ? gate.refuse(ctx, KEY_MISSING) : decide(ctx, anonymous)
      }
      const found = table.find(key)
      if (found === null) return gate.refuse(ctx, KEY_INVALID)
      const { expiresAt } = found.consumer
      if (expiresAt !== null && Date.now() >= expiresAt) return gate.refuse(ctx, KEY_EXPIRED)
      return decide(ctx, found)
    },
  }
}

/** Throws when two keys are one, or a hash needs a pepper that is not there. */
function keyTable(config: Config, host: Host): KeyTable<Verdict> {
  const table = new KeyTable<Verdict>(host, config.pepper ?? null)
  const all = Object.entries(config.consumers).flatMap(([id, consumer]) =>
    Object.entries(consumer.keys).map(([name, key]) => ({ id, consumer, name, key })),
  )
  for (const { id, consumer, name, key } of all) {
    const hash = parseHash(key.hash)
    const what = `the key "${name}" of consumer "${id}"`
    if (hash.kind === 'hmac-sha256' && config.pepper === undefined) {
      throw new Error(
        `Cannot use ${what}: its hash is hmac-sha256 and there is no pepper. Set \`pepper\` to the one it was made with.`,
      )
    }
    const expiresAt = key.expires === undefined ? null : Date.parse(key.expires)
    if (!table.add(hash, verdict(config, knownConsumer(id, consumer, name, expiresAt)))) {
      throw new Error(`Cannot use ${what}: another key is the same. Make a new one with \`cardea key new\`.`)
    }
  }
  if (all.length === 0 && config.anonymous === undefined) {
    host.log.warn('There are no keys: every request is refused', {
      hint: 'add consumers with keys to the config of this plugin',
    })
  }
  return table
}

function knownConsumer(
  id: string,
  { groups, metadata }: ConsumerConfig,
  credential: string,
  expiresAt: number | null,
): Consumer {
  return defineConsumer({ id, groups, metadata, method: 'key-auth', credential, expiresAt })
}

function anonymousVerdict(config: Config, given: NonNullable<Config['anonymous']>): Verdict {
  return verdict(config, defineConsumer({ ...given, anonymous: true, method: 'key-auth' }))
}

function verdict({ require, upstream_headers }: Config, consumer: Consumer): Verdict {
  const { groups_any: any, groups_all: all = [] } = require
  const isIn = (group: string): boolean => consumer.groups.includes(group)
  return {
    consumer,
    isAllowed: all.every(isIn) && (any === undefined || any.some(isIn)),
    fieldValues: Object.values(upstream_headers).map((fact) => fieldText(factOf(consumer, fact))),
  }
}

/** `fact` is one of those that config_schema allows. */
function factOf(consumer: Consumer, fact: string): unknown {
  switch (fact) {
    case 'id':
    case 'groups':
    case 'credential':
    case 'anonymous':
      return consumer[fact]
    default: {
      const name = fact.slice('metadata.'.length)
      return Object.hasOwn(consumer.metadata, name) ? consumer.metadata[name] : null
    }
  }
}
