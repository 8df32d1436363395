# The thin root: both clouds get the same application, the same tables and the same buckets. Change the
# settings in proa.auto.tfvars.json by running `proa deploy` again; put what is yours into files of your own.
module "aws" {
  source             = "./modules/aws"
  name               = var.name
  zone               = var.zone
  tables             = var.tables
  buckets            = var.buckets
  notices            = var.notices
  function_zip       = var.function_zip
  health_path        = var.health_path
  announce_url       = var.announce_url
  announce_token     = var.announce_token
  lease_url          = var.lease_url
  fenced_tables      = var.fenced_tables
  certificate_arn    = var.aws_certificate_arn
  node_principals    = var.aws_node_principals
  log_retention_days = var.log_retention_days
}

module "azure" {
  source             = "./modules/azure"
  name               = var.name
  location           = var.azure_location
  zone               = var.zone
  tables             = var.tables
  buckets            = var.buckets
  notices            = var.notices
  function_zip       = var.function_zip
  announce_url       = var.announce_url
  announce_token     = var.announce_token
  lease_url          = var.lease_url
  fenced_tables      = var.fenced_tables
  certificate_id     = var.azure_certificate_id
  publisher_email    = var.azure_publisher_email
  node_federation    = var.azure_node_federation
  log_retention_days = var.log_retention_days
}
