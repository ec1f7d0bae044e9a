/**
 * Scheme and authority of a redirect of which no part can come from a request: a `:` stands only before a port, or in an IPv6
 * address.
 */
export const LITERAL_ORIGIN = /^(?:https?:)?\/\/(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i
