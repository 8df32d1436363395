resource "azurerm_resource_group" "all" {
  name     = var.name
  location = var.location
}

# The all-versions-and-deletes feed, which shows deletes, comes with continuous backup.
resource "azurerm_cosmosdb_account" "data" {
  name                         = "${var.name}-cosmos"
  resource_group_name          = azurerm_resource_group.all.name
  location                     = azurerm_resource_group.all.location
  offer_type                   = "Standard"
  kind                         = "GlobalDocumentDB"
  local_authentication_enabled = false
  minimal_tls_version          = "Tls12"

  capabilities {
    name = "EnableServerless"
  }
  consistency_policy {
    consistency_level = "Session"
  }
  geo_location {
    location          = azurerm_resource_group.all.location
    failover_priority = 0
  }
  backup {
    type = "Continuous"
    tier = "Continuous7Days"
  }
}

# The function opens one database: `proa deploy` refuses tables in several.
locals {
  database  = try(values(var.tables)[0].database, "proa")
  databases = toset(concat(["proa"], [for t in var.tables : t.database]))
}

resource "azurerm_cosmosdb_sql_database" "data" {
  for_each            = local.databases
  name                = each.key
  resource_group_name = azurerm_resource_group.all.name
  account_name        = azurerm_cosmosdb_account.data.name
}

# default_ttl -1 lets an item have a life of its own and gives none to the others.
resource "azurerm_cosmosdb_sql_container" "replicated" {
  for_each              = var.tables
  name                  = each.key
  resource_group_name   = azurerm_resource_group.all.name
  account_name          = azurerm_cosmosdb_account.data.name
  database_name         = azurerm_cosmosdb_sql_database.data[each.value.database].name
  partition_key_paths   = [each.value.partition_key]
  partition_key_kind    = "Hash"
  partition_key_version = 2
  default_ttl           = each.value.ttl_attribute == null ? null : -1
}

# Data sync's own: its place in this region's feeds, and tombstones.
resource "azurerm_cosmosdb_sql_container" "state" {
  name                  = "proa_state"
  resource_group_name   = azurerm_resource_group.all.name
  account_name          = azurerm_cosmosdb_account.data.name
  database_name         = azurerm_cosmosdb_sql_database.data["proa"].name
  partition_key_paths   = ["/id"]
  partition_key_kind    = "Hash"
  partition_key_version = 2
}

# Losers of concurrent writes stay as versions; the change feed tells of writes.
resource "azurerm_storage_account" "data" {
  name                            = "${var.name}objects"
  resource_group_name             = azurerm_resource_group.all.name
  location                        = azurerm_resource_group.all.location
  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  allow_nested_items_to_be_public = false

  blob_properties {
    versioning_enabled            = true
    change_feed_enabled           = true
    change_feed_retention_in_days = 7
    delete_retention_policy {
      days = 7
    }
  }
}

resource "azurerm_storage_container" "replicated" {
  for_each              = var.buckets
  name                  = each.value
  storage_account_id    = azurerm_storage_account.data.id
  container_access_type = "private"
}
