// Package legacy opens the datagrams of myason agents: a bare Fernet token, in it base64, in it a JSON object of flows.
//
// Ingest makes Agents of the configuration, asks Looks of each datagram, and has Open turn it into a batch. Agents is safe for
// concurrent use; nothing needs closing. These datagrams have no id and no number: the agent is known by its address alone,
// copies of a token by its HMAC for as long as it is taken, and the batch gets its numbers here. What is lost on the way is not
// sent again, and nothing is answered.
package legacy
