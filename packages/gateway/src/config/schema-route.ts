import { Type } from 'typebox'
import { defaulted, FIELD_MATCHES, FIELDS, NAME, RESPONSE_FIELDS, size } from './schema-parts.ts'
import { PLUGIN_ENTRIES } from './schema-plugin.ts'

const HOST =
  'A host name in any case, or "*.example.com" for every name below it. Without a port it matches on all of them.'
const PATH =
  'An exact path ("/health"), a prefix ("/api/*"), or one with parameters ("/users/:id"), in normalised form.'

const RESPOND = Type.Object(
  {
    status: defaulted(
      Type.Integer({ minimum: 200, maximum: 599, default: 200, description: 'Status code of the response.' }),
    ),
    headers: defaulted(FIELDS(RESPONSE_FIELDS)),
    body: defaulted(Type.String({ default: '', description: 'Content of the response.' })),
  },
  { additionalProperties: false, description: 'Answers by itself, without an upstream.' },
)

const REDIRECT = Type.Object(
  {
    to: Type.String({
      minLength: 1,
      pattern: '^[^\\x00-\\x20\\x7f\\\\]+$',
      patternErrorMessage: 'a URL or path without spaces, backslashes and control characters',
      description:
        'The Location field: a URL or path, in which :name and * stand for what the path matched; not in its host.',
    }),
    status: defaulted(
      Type.Union(
        [Type.Literal(301), Type.Literal(302), Type.Literal(303), Type.Literal(307), Type.Literal(308)],
        { default: 302, description: 'Status code of the redirect.' },
      ),
    ),
  },
  { additionalProperties: false, description: 'Answers with a redirect.' },
)

const UPSTREAM_HOST = Type.Union(
  [
    Type.Enum(['preserve', 'target']),
    Type.Object(
      {
        literal: Type.String({
          pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$',
          patternErrorMessage: 'a host name with an optional port',
          description: 'The Host field itself.',
        }),
      },
      { additionalProperties: false },
    ),
  ],
  {
    default: 'preserve',
    description:
      'The Host field that the upstream gets: "preserve" the client\'s, the "target"\'s own, or { literal: NAME }.',
  },
)

/** One entry of `routes` in cardea.yaml. */
export const ROUTE_SCHEMA = Type.Object(
  {
    name: Type.String({ ...NAME, description: 'Unique; stands in logs, errors and metrics.' }),
    host: Type.Optional(Type.String({ description: `${HOST} Default: every host.` })),
    hosts: Type.Optional(
      Type.Array(Type.String({ description: HOST }), {
        minItems: 1,
        description: 'Several hosts; instead of `host`.',
      }),
    ),
    path: Type.Optional(Type.String({ description: `${PATH} Default: "/*", every path.` })),
    paths: Type.Optional(
      Type.Array(Type.String({ description: PATH }), {
        minItems: 1,
        description: 'Several paths; instead of `path`.',
      }),
    ),
    methods: defaulted(
      Type.Array(
        Type.String({
          pattern: "^[A-Z][A-Z0-9!#$%&'*+.^_`|~-]*$",
          patternErrorMessage: 'a method in capitals, such as "GET" (methods are case-sensitive)',
        }),
        {
          default: [],
          uniqueItems: true,
          description: 'Methods that the route takes. Empty: all.',
        },
      ),
    ),
    headers: defaulted(FIELD_MATCHES),
    upstream: Type.Optional(
      Type.String({
        description: 'The upstream that takes the requests. One of upstream, respond, redirect.',
      }),
    ),
    respond: Type.Optional(RESPOND),
    redirect: Type.Optional(REDIRECT),
    upstream_host: defaulted(UPSTREAM_HOST),
    strip_prefix: defaulted(
      Type.String({
        default: '',
        description:
          'Taken off the start of the path before the upstream sees it, such as "/api". Not with `rewrite`.',
      }),
    ),
    rewrite: defaulted(
      Type.String({
        default: '',
        description:
          'Replaces the path that the upstream sees: text in which :name and * stand for what the path matched.',
      }),
    ),
    allow_in_path: defaulted(
      Type.Array(Type.Enum(['encoded_slash', 'encoded_backslash', 'encoded_null', 'empty_segment']), {
        default: [],
        uniqueItems: true,
        description:
          'Path parts that are otherwise answered with 400: %2F, %5C, %00 and "//". Danger: servers read them in different ways, so a path may walk past a plugin bound to another route.',
      }),
    ),
    request_body_bytes: Type.Optional(
      size(
        'Content of one request on this route; longer gets 413. 0: no limit. Default: `limits.request_body_bytes`.',
        {},
      ),
    ),
    plugins: defaulted(
      PLUGIN_ENTRIES(
        'Instances on this route: opt in, override, or switch off with false. Keys are instance names.',
      ),
    ),
  },
  { additionalProperties: false, description: 'Which requests go where. The most specific match wins.' },
)
